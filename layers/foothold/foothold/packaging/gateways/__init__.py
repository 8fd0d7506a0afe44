"""The ports of packaging, spoken to sam, to zips and to AWS."""
