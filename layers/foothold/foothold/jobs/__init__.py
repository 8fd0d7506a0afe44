"""The jobs that CodePipeline gives to functions, whatever they do for it."""
