"""The web server: uvicorn reads whole requests, threads answer them, waits hold no thread.

`connection` is uvicorn's protocol with deadlines. `connection_table` limits the connections.
`request_body` reads bodies. `bridge` hands requests to Django. `wsgi_handler` is Django's
application. `serving` starts and stops them.
"""
