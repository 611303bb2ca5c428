"""`python -m injector` is `inject`."""

from injector.faces.cli.main import main

main()
