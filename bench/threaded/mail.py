#!/usr/bin/env python3
"""mail.py PORT BYTES < RECIPIENTS: a message to each by smtplib, and a thread for each. What smtp.cpp does, as the tutorials
do it."""
import smtplib
import sys
import threading
from email.mime.text import MIMEText

port, size = int(sys.argv[1]), int(sys.argv[2])
recipients = sys.stdin.read().split()
output = threading.Lock()
failures = []


def send(recipient):
    message = MIMEText("bench\n" * (size // 6), "plain", "utf-8")
    message["From"], message["To"], message["Subject"] = "bench@example.org", recipient, "bench"
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as server:
            server.sendmail("bench@example.org", [recipient], message.as_string())
        line = f"{recipient} 250"
    except (OSError, smtplib.SMTPException) as why:
        line = f"{recipient} failed: {why}"
        failures.append(recipient)
    with output:
        print(line)


threads = [threading.Thread(target=send, args=(recipient,)) for recipient in recipients]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(bool(failures))
