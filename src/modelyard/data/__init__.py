"""Checking data: what is wrong with it, what was dropped and why, and the splits that everything else uses."""
