"""Modelyard: from a raw text file to a signed, served language model, refused at any gate without evidence."""

__version__ = "0.1.0"
