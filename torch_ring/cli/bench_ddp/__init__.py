"""`torch-ring bench-ddp`: command.py is what app.py registers."""
