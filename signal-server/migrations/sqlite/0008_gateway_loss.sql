-- What becomes of a merchant's calls when their gateway is gone for good: "end" or "call_again".
ALTER TABLE merchants ADD COLUMN on_gateway_loss TEXT NOT NULL DEFAULT 'end';
