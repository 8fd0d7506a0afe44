"""What Foothold does, told in ports: no AWS client is known here."""
