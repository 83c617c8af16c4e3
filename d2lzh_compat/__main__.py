"""`python -m d2lzh_compat script.py`: run an old script; see run_script."""
from d2lzh_compat.run_script import main

if __name__ == "__main__":  # and not where a process of the script starts
    main()
