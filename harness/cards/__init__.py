"""What people read about runs: verdict cards, their figures, the page of document claims."""
