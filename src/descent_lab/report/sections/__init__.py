"""The sections of the report: one file a topic, with its tables, static and interactive figures, and words."""
