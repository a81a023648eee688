"""What all pages share: layout, navigation, confirmations, errors, charts."""
