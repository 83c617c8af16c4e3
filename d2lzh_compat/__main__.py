"""`python -m d2lzh_compat script.py`: run an old script; see old_names."""
from d2lzh_compat.old_names import main

if __name__ == "__main__":  # and not where a process of the script starts
    main()
