"""A lifelike contact directory, so that Segue can be tried without anybody's real data.

The directory is simulated day by day: people join, buy, call support, opt out and leave. Every
address is at an example domain and every phone number comes from a range reserved for fiction.
"""
