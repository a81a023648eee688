"""The web server: uvicorn reads whole requests, threads answer them, a waiting client holds none.

`connection` is uvicorn's protocol with deadlines. `connection_table` bounds the connections.
`request_body` reads bodies. `bridge` hands requests to Django. `serving` starts and stops them.
"""
