"""What texts are like: scripts, language, words, lines, tokens, and the published filters."""
