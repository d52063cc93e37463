"""The S3 server and the proxy before it."""

from tests.servers import clean_environment, fault_proxy, s3, s3_server

__all__ = ["clean_environment", "fault_proxy", "s3", "s3_server"]
