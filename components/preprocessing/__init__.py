"""Raw example -> tensor. The one home of it: training and serving both use this code."""
