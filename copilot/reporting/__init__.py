"""The report of a case: drafted from findings, edited and signed by a person, written in the forms that others read."""
