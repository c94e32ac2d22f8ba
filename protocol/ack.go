package protocol

import "encoding/binary"

// An Ack says up to which update of a table its sender has processed what it
// was sent.
type Ack struct {
	// TableID is the id by which the receiver of the ack, not its sender,
	// defined the table.
	TableID uint64
	// UpdateID is the id of the last update processed. HAProxy 3.3 to
	// 3.5-dev5 swap its bytes after an incremental update: it is to be
	// checked against what was sent before it is believed.
	UpdateID uint32
}

// AppendAck appends a whole ack message.
func AppendAck(b []byte, a Ack) []byte {
	var p [MaxVarintLen + 4]byte
	payload := AppendVarint(p[:0], a.TableID)
	payload = binary.BigEndian.AppendUint32(payload, a.UpdateID)
	return AppendFrame(b, AckMessage, payload)
}

// ParseAck reads the payload of an ack message.
func ParseAck(payload []byte) (Ack, error) {
	d := decoder{b: payload}
	a := Ack{TableID: d.varint(), UpdateID: d.uint32()}
	if !d.ok() {
		return Ack{}, malformed("ack message is cut short")
	}
	return a, nil
}

// AppendSwitch appends a whole switch message: the updates that follow are of
// the table that was defined as id. HAProxy accepts it and never sends it; it
// repeats the definition instead.
func AppendSwitch(b []byte, id uint64) []byte {
	var p [MaxVarintLen]byte
	return AppendFrame(b, SwitchMessage, AppendVarint(p[:0], id))
}

// ParseSwitch reads the payload of a switch message.
func ParseSwitch(payload []byte) (id uint64, err error) {
	d := decoder{b: payload}
	id = d.varint()
	if !d.ok() {
		return 0, malformed("table switch message is cut short")
	}
	return id, nil
}
