"""What only a live account can show, asked of one."""
