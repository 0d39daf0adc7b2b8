"""python app.py: starts the studio. A Hugging Face Space runs this file too."""

from flowers.studio.app import main

if __name__ == "__main__":
    main()
