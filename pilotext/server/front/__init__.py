"""HTTP front of the server: every request is limited, authenticated and read here before it takes a thread.

Granian (RSGI) parses requests; `gate` applies the limits in its event loop, and hands whole requests to the WSGI
application in a bounded number of threads. It knows nothing of what the application does with them (`guard.Guard`).
"""
