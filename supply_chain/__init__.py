"""What the project takes from elsewhere: its bill of materials, its licences, and the lock of Kafka's jars."""
