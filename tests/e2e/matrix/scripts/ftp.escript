#!/usr/bin/env escript
%% -*- coding: utf-8 -*-
%% Erlang's ftp: it resumes the control connection's session when told to.
-mode(compile).

main(_) ->
    {ok, _} = application:ensure_all_started(ssl),
    {ok, _} = application:ensure_all_started(ftp),
    io:setopts([{encoding, unicode}]),
    Host = os:getenv("FTP_HOST"),
    Tls = [{cacertfile, os:getenv("FTP_CA")}, {verify, verify_peer},
           %% The name on the certificate: data connections go to an address.
           {server_name_indication, "localhost"}],
    Method = case os:getenv("FTP_MODE") of "implicit" -> ftps; _ -> ftpes end,
    Mode = case os:getenv("FTP_DATA") of "passive" -> passive; _ -> active end,
    Family = case lists:member($:, Host) of true -> inet6; false -> inet end,
    {ok, Ftp} = ftp:open(Host, [{port, list_to_integer(os:getenv("FTP_PORT"))}, {mode, Mode}, {timeout, 30000},
                                {ipfamily, Family}, {ftp_extension, os:getenv("FTP_DATA") =/= "PORT"}, {tls, Tls}, {tls_sec_method, Method},
                                {tls_ctrl_session_reuse, true}]),
    ok = ftp:user(Ftp, os:getenv("FTP_USER"), os:getenv("FTP_PASSWORD")),
    ok = ftp:type(Ftp, binary),
    {ok, Job} = file:read_file("job.tsv"),
    Lines = string:split(unicode:characters_to_list(string:trim(Job, trailing, "\n")), "\n", all),
    [do(Ftp, string:split(Line, "\t", all)) || Line <- Lines, Line =/= []],
    ok = ftp:close(Ftp).

%% The library writes a name as a list of bytes.
name(Text) -> binary_to_list(unicode:characters_to_binary(Text)).

do(Ftp, ["mkdir", Name]) -> ok = ftp:mkdir(Ftp, name(Name));
do(Ftp, ["put", Local, Remote]) -> ok = ftp:send(Ftp, Local, name(Remote));
do(Ftp, ["get", Remote, Local]) -> ok = ftp:recv(Ftp, name(Remote), Local);
do(Ftp, ["reput", Local, Remote]) ->
    {ok, Listing} = ftp:ls(Ftp, name(Remote)),
    [_, _, _, _, Size | _] = string:lexemes(Listing, " "),
    {ok, Whole} = file:read_file(Local),
    ok = ftp:append_bin(Ftp, binary:part(Whole, list_to_integer(Size), byte_size(Whole) - list_to_integer(Size)),
                        name(Remote));
do(Ftp, ["list"]) -> {ok, Listing} = ftp:ls(Ftp), show(Listing);
do(Ftp, ["nlst"]) -> {ok, Listing} = ftp:nlist(Ftp), show(Listing);
do(Ftp, ["rename", Old, New]) -> ok = ftp:rename(Ftp, name(Old), name(New));
do(Ftp, ["delete", Name]) -> ok = ftp:delete(Ftp, name(Name)).

show(Listing) -> io:put_chars(unicode:characters_to_list(list_to_binary(Listing))).
