"""The description of the API, checked: usage described.py ADDRESS.

Leaves with 77 where openapi-spec-validator is not installed.
"""
import json
import sys
import urllib.request

try:
    from openapi_spec_validator import OpenAPIV31SpecValidator
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install -r tests/it/requirements.txt", file=sys.stderr)
    sys.exit(77)

with urllib.request.urlopen(f"http://{sys.argv[1]}/v1/openapi.json") as answer:
    described = json.load(answer)
OpenAPIV31SpecValidator(described).validate()
assert len(described["paths"]) > 30, described["paths"].keys()
