"""`torch-ring cuda`: command.py is what app.py registers."""
