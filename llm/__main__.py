"""python -m llm VERB [arguments]: llm/command_line.py."""

from llm.command_line import main

if __name__ == "__main__":
    main()
