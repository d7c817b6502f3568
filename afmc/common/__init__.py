"""What every part of afmc uses: files that are written whole, and read strictly."""
