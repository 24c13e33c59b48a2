"""`torch-ring bench`: command.py is what app.py registers."""
