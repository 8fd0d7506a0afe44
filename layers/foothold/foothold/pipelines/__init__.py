"""A declaration becomes a pipeline that deploys to many accounts and regions."""
