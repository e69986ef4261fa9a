"""What a study leaves on disk: its folder, configuration, database, artifacts and exports."""
