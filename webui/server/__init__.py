"""The web server: uvicorn reads whole requests, threads answer them, whoever waits holds none.

`connection` is uvicorn's protocol with deadlines, `crowd` bounds who is connected, `bridge` hands
requests to Django, `body` reads what they carry, `serving` starts and stops all of it.
"""
