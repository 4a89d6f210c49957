"""What EMR's machines have and this one may lack."""

# The AWS command line is on EMR's machines; here, where there is none, this does its one task.
AWS_S3_CP = """#!{python}
import sys, boto3
source, target = [word for word in sys.argv[3:] if not word.startswith("--")]
bucket, _, key = source.removeprefix("s3://").partition("/")
boto3.client("s3").download_file(bucket, key, target)
"""
