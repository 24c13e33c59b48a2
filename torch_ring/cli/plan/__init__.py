"""`torch-ring plan`: command.py is what app.py registers."""
