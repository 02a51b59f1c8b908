"""Intervals judged against limits: what every gate in Modelyard is made of. Imports no other room."""
