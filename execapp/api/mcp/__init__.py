"""The door for the Model Context Protocol (MCP): Streamable HTTP at /mcp, without sessions.

`views` has the transport, `protocol` the messages, `tools` the calls and `schemas` their shapes.
Source: modelcontextprotocol.io/specification, versions 2025-03-26 to 2025-11-25. Decision 0045.
"""
