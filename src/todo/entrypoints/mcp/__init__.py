"""The MCP entrypoint: a person's tasks as tools of the Model Context Protocol. It needs the extra ``todo[mcp]``."""
