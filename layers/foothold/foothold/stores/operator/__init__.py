"""What operators ask of the control plane, and how it is carried out."""
