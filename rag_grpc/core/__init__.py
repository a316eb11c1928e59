"""What the service does, without saying how it is reached or where things are kept.

The core imports the standard library and numpy and nothing else: no gRPC, no
protobuf, no SQL, no index library. So each rule of the domain can be read, and
tested, without any of them. `ports.py` says what the core asks of the outside.
"""
