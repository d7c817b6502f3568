"""What is true of chips besides their target: conditions, defects, crossbars."""
