//! HTTP and WebSocket, with whatever may come over them.
