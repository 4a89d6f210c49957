"""Columns that follow from another column alone, declared once."""
