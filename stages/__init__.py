"""What happens to the data, one file a stage; ordinary classes that know no Ray."""
