"""The report page: everything a project's folders say, as one file that a person can open and hand over."""
