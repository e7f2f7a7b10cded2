// Package qianmian holds the client of the Qianmian recommendation engine: the generated package
// qianmian/v1 (`go generate`, which needs protoc), and an example.
package qianmian

//go:generate go build -o bin/ tool
//go:generate sh -c "PATH=$PWD/bin:$PATH protoc -I ../../proto --go_out=. --go_opt=module=qianmian --go-grpc_out=. --go-grpc_opt=module=qianmian ../../proto/qianmian/v1/*.proto"
