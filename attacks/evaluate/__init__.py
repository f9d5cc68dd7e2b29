"""Judging what attacks made: on other models, over schedules, by pairs of classes."""
