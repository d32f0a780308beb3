"""What is learned and how: losses, optimisers, averages, distillation, a frozen backbone."""
