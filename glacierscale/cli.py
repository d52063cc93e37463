"""The glacierscale command."""
def main() -> None:
    """Run."""
