"""`torch-ring settings`: command.py is what app.py registers."""
