"""The network: point motion in a window -> log depth ratio, with its uncertainty."""
