"""Tables of lakes, Delta and Iceberg, read in place: a snapshot is the tables at one instant."""
